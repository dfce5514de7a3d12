"""One user's facts as memories: which say the same, which one holds now, and for whom."""
