"""The wire: a gunicorn worker class whose connections are parsed by llhttp and served to a WSGI application."""
