"""The embedded corpora behind the `:demo` configs."""
