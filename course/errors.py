"""The exceptions that the command line turns into a sentence."""


class CourseError(Exception):
    """Something that the user can put right. Its message is one whole sentence, shown without a traceback."""

    exit_code = 2


class OutOfDate(CourseError):
    """A committed notebook is not what its source gives: nothing went wrong, the answer is no."""

    exit_code = 1
