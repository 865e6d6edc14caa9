"""rationale serve."""

from typing import Annotated

import typer

from rationale.cli.app import MOST_THREADS, GpuOption, WeightsOption, app
from rationale.errors import OptionError


@app.command()
def serve(
    model: Annotated[str, typer.Option("--model", "-m", help="Shown first: a name or a directory.")] = "mnist",
    models: Annotated[
        str | None,
        typer.Option("--models", help="Others to offer, with commas between; if not given, all."),
    ] = None,
    host: Annotated[
        str, typer.Option("--host", help="Where to listen; beyond this machine with a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0: any that is free.")] = 8080,
    allow_host: Annotated[
        list[str] | None, typer.Option("--allow-host", help="Another name that the server answers to.")
    ] = None,
    threads: Annotated[int | None, typer.Option("--threads", min=1, max=MOST_THREADS, help="Of each worker.")] = None,
    weights: WeightsOption = None,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    gpu: GpuOption = None,
) -> None:
    """Open a live page: camera, drawing, video or photograph, and what the network makes of it."""
    from rationale.cores import available_cores

    try:
        from rationale.visualizer.serve import names_of, offered_models, run, token_for
        from rationale.visualizer.server import Settings
    except ModuleNotFoundError as error:
        raise OptionError(f"the live page wants {error.name}: pip install 'rationale[web]'") from error
    settings = Settings(
        models=offered_models(model, None if models is None else [each.strip() for each in models.split(",") if each]),
        hosts=names_of(host, allow_host or []),
        token=token_for(host),
        gpu=gpu,
        threads=threads or available_cores(),
        weights=None if weights is None else str(weights),
    )
    try:
        run(settings, host, port, open_page=open_page)
    except KeyboardInterrupt:
        print("stopped")
