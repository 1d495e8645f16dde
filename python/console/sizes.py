"""Bytes and durations as people read them. Units are decimal: 1 GB is 10^9 bytes."""

_UNITS = ("B", "kB", "MB", "GB", "TB")


def format_bytes(count: float) -> str:
    """`1234567` -> `1.23 MB`; three significant digits, whole bytes below 1 kB."""
    if count < 1000:
        return f"{count:.0f} B"
    value = float(count)
    unit = 0
    while value >= 999.5 and unit + 1 < len(_UNITS):
        value /= 1000
        unit += 1
    decimals = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{decimals}f} {_UNITS[unit]}"


def format_duration(seconds: float) -> str:
    """`75` -> `1:15`, `3675` -> `1:01:15`; fractions are cut off."""
    whole = max(0, int(seconds))
    hours, minutes = divmod(whole // 60, 60)
    if hours:
        return f"{hours}:{minutes:02d}:{whole % 60:02d}"
    return f"{minutes}:{whole % 60:02d}"
