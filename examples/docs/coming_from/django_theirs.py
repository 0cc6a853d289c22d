# pyright: basic, reportOptionalMemberAccess=false
import json
from pathlib import Path

import django
from django import forms
from django.conf import settings
from django.http import Http404, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.urls import include, path, reverse
from django.views.decorators.http import require_GET, require_POST

settings.configure(
    SECRET_KEY="only for this example",
    ROOT_URLCONF=__name__,
    MIDDLEWARE=[f"{__name__}.add_header"],
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "DIRS": [Path(__file__).parent / "templates"],
        }
    ],
)
django.setup()


# --8<-- [start:views]
@require_GET
def article(request, year, slug):
    return JsonResponse({"year": year, "slug": slug})


@require_GET
def search(request):
    query = request.GET.get("q", "")
    return JsonResponse({"q": query, "tags": request.GET.getlist("tags")})


# --8<-- [end:views]


# --8<-- [start:body]
@require_POST
def create_order(request):
    try:
        data = json.loads(request.body)
    except ValueError:
        return JsonResponse({"error": "malformed"}, status=400)
    form = OrderForm(data)
    if not form.is_valid():
        return JsonResponse(form.errors.get_json_data(), status=422)
    return JsonResponse(form.cleaned_data, status=201)


class OrderForm(forms.Form):
    article = forms.CharField(max_length=40)
    quantity = forms.IntegerField(min_value=1)


# --8<-- [end:body]


# --8<-- [start:form]
class ContactForm(forms.Form):
    name = forms.CharField(max_length=40)
    day = forms.DateField()
    newsletter = forms.BooleanField(required=False)


def contact(request):
    if request.method == "POST":
        form = ContactForm(request.POST)
        if form.is_valid():
            day = form.cleaned_data["day"]
            return HttpResponseRedirect(
                reverse("thanks", kwargs={"year": day.year})
            )
        return render(
            request, "greeting.html", {"form": form, "name": "?"}, status=422
        )
    return render(
        request, "greeting.html", {"form": ContactForm(), "name": "you"}
    )


def thanks(request, year):
    return JsonResponse({"year": year})


# --8<-- [end:form]


# --8<-- [start:errors]
ARTICLES = {1: "tea"}


def detail(request, id):
    try:
        return JsonResponse({"name": ARTICLES[id]})
    except KeyError:
        raise Http404(f"no article {id}") from None


# --8<-- [end:errors]


# --8<-- [start:middleware]
def add_header(get_response):
    def middleware(request):
        response = get_response(request)
        response["X-App"] = "shop"
        return response

    return middleware


# --8<-- [end:middleware]


# --8<-- [start:urls]
shop = [
    path("items/<int:id>", detail, name="detail"),
]

urlpatterns = [
    path("articles/<int:year>/<slug:slug>", article),
    path("search", search),
    path("orders", create_order),
    path("contact", contact),
    path("thanks/<int:year>", thanks, name="thanks"),
    path("shop/", include(shop)),
]
# --8<-- [end:urls]
