"""Errors of the suite. Each message says what is wrong, where, and how to mend it."""


class UnivlaError(Exception):
    """Base of every error that the suite raises on purpose."""


class ConfigError(UnivlaError):
    """A configuration file, parameter or command-line value is unusable."""


class CheckpointError(UnivlaError):
    """A checkpoint is missing, truncated or does not fit what it is loaded into."""


class ShapeError(UnivlaError):
    """An array has another shape than its consumer needs."""


class ObservationError(UnivlaError):
    """An observation is incomplete or malformed and must not reach the policy."""


class ActionError(UnivlaError):
    """A latent action or an action chunk is malformed or meant for another robot."""


class KinematicsError(UnivlaError):
    """A pose cannot be reached or a kinematic chain is inconsistent."""


class DriverError(UnivlaError):
    """The robot driver is absent, refuses, or is commanded by someone else too."""


class TrainingError(UnivlaError):
    """Training cannot start, cannot go on, or was stopped."""


class DataError(UnivlaError):
    """A recorded episode cannot be written or read, or does not fit what it is used for."""
