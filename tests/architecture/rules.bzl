"""independent: a test that some targets do not depend on others, however indirectly."""

load("//build:testing.bzl", "pytest_test")

def independent(name, targets, forbidden):
    """Fails, naming them, if `targets` depend on a label that matches `forbidden`.

    Args:
      name: the test.
      targets: labels, whose dependencies are followed to the end.
      forbidden: a regular expression on labels.
    """
    native.genquery(
        name = name + "_labels",
        testonly = True,
        expression = "filter('%s', deps(set(%s)))" % (forbidden, " ".join(targets)),
        scope = targets,
    )
    pytest_test(
        name = name,
        size = "small",
        srcs = ["independence_test.py"],
        data = [name + "_labels"],
        env = {"LABELS": "$(rootpath %s_labels)" % name},
    )
