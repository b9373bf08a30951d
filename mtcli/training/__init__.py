"""Loss, optimizer, schedule, precision, the loop and the run directory."""
