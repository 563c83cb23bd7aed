"""From raw text of any size to windows of tokens: reading, filtering, storing, packing, mixing."""
