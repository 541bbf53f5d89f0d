"""The whole pipeline, with every process for real, on both backends."""
