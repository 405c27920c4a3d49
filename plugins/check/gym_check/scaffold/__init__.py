"""The beginnings of a plugin's package: `gym new`."""
