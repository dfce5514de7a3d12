"""Pure decisions: values in, values out; the time and the policy are arguments."""
