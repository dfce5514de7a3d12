"""What is measured, and where it is handed out.

``catalogue`` defines everything that a process counts of itself, ``stored`` what is read from the
servers when somebody asks. Flows and stages know nothing of either: it is recorded by who starts
them (``workers.tasks``, the routes, the intake) and by the stores and servers that they use.
"""
