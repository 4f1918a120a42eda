"""What can be wrong with a request? Every error that a user can cause; the command line turns each into exit code 2."""


class IsogradError(Exception):
    """A request that cannot be carried out; the message says what was expected, what came, and where."""


class ScenarioError(IsogradError):
    """A scenario that cannot be read, or whose parts do not fit."""


class BackendError(IsogradError):
    """A backend that cannot be found, or is not a backend."""


class BackendUnavailableError(BackendError):
    """A backend whose file is there but cannot be imported; whoever asked for it by name gets an ERROR cell."""


class TraceError(IsogradError):
    """A trace file that is truncated, foreign, or newer than this version."""


class ReportError(IsogradError):
    """A report that cannot be written where it was asked for."""
