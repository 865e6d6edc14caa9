"""zennit imports torchvision for its canonizers; a stub is enough for what the benchmarks use of it."""

import sys
import types


def stub_torchvision() -> None:
    """Puts a stub in torchvision's place where it cannot be imported."""
    try:
        import torchvision  # noqa: F401
    except Exception:
        names = {
            "torchvision": {},
            "torchvision.models": {},
            "torchvision.models.resnet": {"Bottleneck": type("Bottleneck", (), {}), "BasicBlock": type("B", (), {})},
            "torchvision.models.vgg": {},
        }
        for name, content in names.items():
            module = types.ModuleType(name)
            module.__dict__.update(content)
            sys.modules[name] = module
            if "." in name:
                parent, child = name.rsplit(".", 1)
                setattr(sys.modules[parent], child, module)
