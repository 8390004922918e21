"""The experiments of Feng et al.: their tables and figures again, on a survey of one's own."""
