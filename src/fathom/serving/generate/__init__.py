"""Generating text: prompts in; continuations, beams or streams of text out."""
