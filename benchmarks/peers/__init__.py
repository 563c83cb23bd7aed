"""The programs that are compared: one fresh process for each measured training run."""
