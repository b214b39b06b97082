"""A bundled name that does not exist, close to one that does."""

ERROR = "BundleNotFound"
SENTENCE = "There is no file, folder or bundled generator 'digit'. Did you mean 'digits'?"


def build(folder):
    return "digit"
