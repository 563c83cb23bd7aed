"""Errors a user can mend, each with the place and the mend.

The command line turns an `InputError` into exit code 2 and any other `FathomError` into exit code 1, without a
traceback.
"""

from __future__ import annotations

REPORT = "this is a defect: please report it with the output of 'fathom env'"
"""The mend where nothing that the user gave is wrong."""


class FathomError(Exception):
    """Any failure Fathom reports by itself.

    Args:
        message: What is wrong, in one sentence.
        where: File, line, column or key the message is about.
        mend: What to do about it.
    """

    def __init__(self, message: str, *, where: str | None = None, mend: str | None = None) -> None:
        self.message = message
        self.where = where
        self.mend = mend
        super().__init__(self.__str__())

    @property
    def problem(self) -> str:
        """What is wrong, and where; without the mend, for a warning that goes on to say what is done instead."""
        return f"{self.where}: {self.message}" if self.where else self.message

    def __str__(self) -> str:
        return f"{self.problem}\n  mend: {self.mend}" if self.mend else self.problem


class InputError(FathomError, ValueError):
    """Something the user gave is wrong; exit code 2."""


class ConfigError(InputError):
    """A recipe, an edit of it or an option is wrong."""


class DataError(InputError):
    """A data file, a row or a label is wrong."""


class ModelError(InputError):
    """A model name or folder is wrong, or its architecture cannot do what was asked."""


class ArtifactError(InputError):
    """A saved file is damaged, incomplete or from something else."""


class MissingExtraError(InputError):
    """An optional dependency is not installed; the mend names the install command."""

    def __init__(self, package: str, extra: str, where: str | None = None) -> None:
        super().__init__(
            f"the package '{package}' is not installed", where=where, mend=f"pip install 'fathom-lm[{extra}]'"
        )


class TrainingError(FathomError):
    """Training cannot go on (non-finite loss, memory exhausted at the smallest micro-batch); exit code 1."""
