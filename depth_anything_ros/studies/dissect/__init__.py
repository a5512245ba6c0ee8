"""What every layer of a network puts out for an image: `record` measures, `page` shows."""
