"""What every script does around its one call: the log, and mistakes told as messages."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def running(snakemake: Any) -> Iterator[None]:
    """Run the body of a rule's script with its log open.

    What the body prints goes to the log, warnings to the log and the terminal, and how far it
    is to the log and to a file beside it. A mistake in the input ends the job with its message
    alone; anything else with its traceback. Both reach the log and the terminal.
    """
    from gridwell.config.errors import InputError
    from gridwell.runs.progress import heard_by
    from gridwell.runs.reporter import Reporter

    log = Path(snakemake.log[0])
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as file, Reporter(log, file) as reporter:
        out, sys.stdout = sys.stdout, file
        logger = logging.getLogger("gridwell")
        handlers = [logging.StreamHandler(stream) for stream in (file, sys.stderr)]
        for handler in handlers:
            logger.addHandler(handler)
        try:
            with heard_by(reporter):
                yield
        except InputError as error:
            _tell(f"{snakemake.rule}: {error}", file)
            sys.exit(1)
        except Exception:
            _tell(traceback.format_exc(), file)
            sys.exit(1)
        finally:
            sys.stdout = out
            for handler in handlers:
                logger.removeHandler(handler)


def _tell(text: str, file: Any) -> None:
    file.write(text.rstrip() + "\n")
    sys.stderr.write(text.rstrip() + "\n")
