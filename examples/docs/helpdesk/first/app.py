from models import Ticket

from quintet import App, Database, resource

app = App(title="Helpdesk", plugins=[Database()])
app.include(
    resource(
        Ticket,
        path="/tickets",
        filters=["status"],
        search=["subject"],
        produces=("json", "html"),
    )
)
