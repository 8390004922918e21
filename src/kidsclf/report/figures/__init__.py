"""One function per figure: reduced table in, matplotlib Figure out."""
