"""The one exception that the command line turns into a sentence."""


class CourseError(Exception):
    """Something that the user can put right. Its message is one whole sentence, shown without a traceback."""
