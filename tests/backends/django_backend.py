import os

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.http import require_POST
from townsquare_client import Townsquare

townsquare = Townsquare(os.environ["TOWNSQUARE_URL"], key=os.environ["TOWNSQUARE_KEY"])


@require_POST
def townsquare_session(request: HttpRequest) -> HttpResponse:
    """Vouches for the user who has signed in here."""
    user = request.user  # django.contrib.auth has put it there
    if not user.is_authenticated:
        return HttpResponse(status=401)
    name = user.get_full_name() or user.get_username()
    minted = townsquare.mint_session(f"user-{user.pk}", name, hours=8)
    return JsonResponse({"session": minted.session})


urlpatterns = [path("townsquare/session", townsquare_session)]
