"""Reads requirements.lock, which is in pip's own format: `name==version`, then one `--hash=` per line."""

def label_name(name):
    """The label of a distribution: lower case, with `-` and `.` as `_`."""
    return name.lower().replace("-", "_").replace(".", "_")

def parse_lock(text):
    """Returns {distribution: its requirement with every hash, on one line}."""
    requirements = {}
    for line in text.replace("\\\n", " ").split("\n"):
        line = line.strip()
        if line and not line.startswith("#"):
            requirements[line.split("==")[0]] = line
    return requirements

def parse_names(text):
    """Returns the lines of a file of names, without comments and empty lines."""
    lines = [line.split("#")[0].strip() for line in text.split("\n")]
    return [line for line in lines if line]
