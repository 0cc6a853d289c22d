"""The OpenAPI 3.1 document of an app, and the page that shows it.

Everything is read from the plans that the app compiled; nothing here runs before somebody asks for the document.
"""
