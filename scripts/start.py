"""What each script begins with: the project's environment, and a sentence where it can't begin."""

import gc
import os
import signal
import sys
from pathlib import Path

_ENVIRONMENT = Path(__file__).resolve().parents[1] / ".venv" / "bin" / "python"


def start(name):
    """Runs the script of this name of `jaxcls.cli.main`, and ends the process."""
    # Ctrl-C ends an import as the system does it, without a traceback; and so it stays until a
    # training has something to save.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    # Modules are no garbage: not to look for any among them takes an eighth off the processor time
    # of a short run.
    gc.disable()
    try:
        from jaxcls.cli import main
    except ModuleNotFoundError as error:
        # Called by its own name, it is run by whichever Python comes first.
        if _ENVIRONMENT.exists() and Path(sys.prefix) != _ENVIRONMENT.parents[1]:
            os.execv(_ENVIRONMENT, [str(_ENVIRONMENT), *sys.argv])
        _refuse(
            f"{error.name} is not installed for {sys.executable}; install jaxcls as its README "
            "says, and use that environment's Python."
        )
    except (
        ValueError
    ) as error:  # of a variable JAX_..., which jax reads as it is imported
        _refuse(
            f"jax can't be imported ({error}); mend or unset that variable of the environment."
        )
    gc.freeze()
    gc.enable()
    sys.exit(getattr(main, name)())


def _refuse(sentence):
    if sys.stderr is not None:
        print(f"{os.path.basename(sys.argv[0])}: {sentence}", file=sys.stderr)
    sys.exit(2)
