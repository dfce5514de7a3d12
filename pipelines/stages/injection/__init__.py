"""Text that would order the memory about, or pose as somebody else: it is no evidence."""
