"""The application: styles that ship with the package, use cases, and the command line."""
