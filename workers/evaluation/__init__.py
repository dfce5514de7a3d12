"""``memstill eval``: a data set through the whole pipeline, and how well recall answers it."""
