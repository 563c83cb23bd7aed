"""The rows of `compare_tasks`: what each task learns from, starts from and is judged by."""
