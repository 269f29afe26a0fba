"""Models in use: upscaling image files, exporting to other formats, comparing models in pictures."""
