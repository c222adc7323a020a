"""From the text of an SMS to the raw values of a form's fields (45 §7, §8)."""
