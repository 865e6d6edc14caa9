"""rationale models, rationale doctor."""

import typer

from rationale.cli.app import app


@app.command()
def models() -> None:
    """List the models that come with Rationale."""
    from rationale.errors import RationaleError
    from rationale.model import Model, available_models

    for name in available_models():
        try:
            description = Model.load(name).description
        except RationaleError as error:
            print(f"{name}: cannot be read ({error})")
            continue
        print(f"{name}: {description.title}. {description.description}; licence {description.licence}")


@app.command()
def doctor() -> None:
    """Check that everything works here."""
    from rationale.doctor import examine

    findings = examine()
    for finding in findings:
        print(f"{'ok ' if finding.good else 'BAD'}  {finding.what}")
    if not all(finding.good for finding in findings):
        raise typer.Exit(1)
