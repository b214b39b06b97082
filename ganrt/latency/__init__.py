"""How long calls take, and how sure that is: measure, bound, describe the machine, compare. Knows no generator."""
