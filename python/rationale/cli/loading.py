"""What several commands load: a model and a split of its data set."""

from rationale.datasets import Split, check_classes, load_dataset
from rationale.errors import ModelError
from rationale.model import Model


def model_and_split(model: str, split: str, gpu: int | None = None) -> tuple[Model, Split]:
    """A model and a split of its data set.

    Raises:
        ModelError: the model names no data set, or has other classes.
        DataError: there is no such split.
    """
    loaded = Model.load(model, gpu=gpu)
    if loaded.description.dataset is None:
        raise ModelError(f"model {loaded.name!r} names no dataset in its model.toml")
    dataset = load_dataset(loaded.description.dataset)
    check_classes(dataset, loaded.labels)
    return loaded, dataset.split(split)
