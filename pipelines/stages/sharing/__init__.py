"""What many users say alike, proposed for everyone and kept in step with what carries it."""
