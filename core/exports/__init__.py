"""What of a deployment is taken out as one file: which documents, in which order, as which rows (30 §2)."""
