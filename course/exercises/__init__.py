"""Exercises: what is asked of a student, and how the answer is checked.

`check(my_function)` judges at once. A lesson's exercises stand in one file, named after its topic; its notebooks are made from them:
`starter_notebook` for students, `solution_notebook` for those who teach.
"""

from course.exercises.checking import CheckResult, check
from course.exercises.lessons import exercises_of
from course.exercises.notebooks import solution_notebook, starter_notebook

__all__ = ["CheckResult", "check", "exercises_of", "solution_notebook", "starter_notebook"]
