"""Run a command that this machine's operator has configured, with limited time and error output."""

import subprocess
from collections.abc import Mapping, Sequence

#: Time limit in seconds.
COMMAND_SECONDS = 60.0

#: Length of the end of stderr that an error message quotes, in characters.
_OUTPUT_CHARACTERS = 300


def run_command(argv: Sequence[str], environment: Mapping[str, str], seconds: float = COMMAND_SECONDS) -> str | None:
    """Run the command to its end. Return why it failed, or None."""
    try:
        ended = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=dict(environment),
            check=False,
            timeout=seconds,
            start_new_session=True,
        )
    except subprocess.TimeoutExpired:
        return f"{argv[0]} took longer than {seconds:.0f} s and was killed"
    except OSError as error:
        return f"{argv[0]} cannot be run: {error.strerror}"
    if ended.returncode == 0:
        return None
    output = " ".join(ended.stderr.decode(errors="replace").split())[-_OUTPUT_CHARACTERS:]
    return f"{argv[0]} ended with {ended.returncode}" + (f": {output}" if output else "")
