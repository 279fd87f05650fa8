"""What opens the notebook server, and must not reach the programs behind its proxy.

Its token, wherever a request may carry it, and the cookies of Jupyter and JupyterHub.
Called by proxied.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus, urlsplit, urlunsplit

from tornado.httputil import HTTPHeaders, HTTPServerRequest

# Of every server of this host: browsers send cookies to all its ports. Sources:
# jupyter_server 2.21, IdentityProvider.get_cookie_name; jupyterhub 5, services/auth.py.
_COOKIES = ("_xsrf", "username-", "jupyterhub-", "jupyter-hub-")
_PARAMETERS = ("token", "_xsrf")
_CREDENTIALS = re.compile(r"(token|bearer)\s+(.+)", re.IGNORECASE)


def of_same_origin(request: HTTPServerRequest) -> bool:
    """Return whether the browser says that this server's own page asks.

    Of what is no browser's nothing is known.

    Pages can set none of these headers. `Sec-Fetch-Site` comes first, because it tells
    even where a page keeps its own address for itself (`Origin: null`); browsers
    send it to https and localhost alone.
    """
    headers = request.headers
    if "Sec-Fetch-Site" in headers:
        return headers["Sec-Fetch-Site"] == "same-origin"
    said = headers.get("Origin") or headers.get("Referer", "")
    try:
        return bool(said) and urlsplit(said.lower()).netloc == request.host.lower()
    except ValueError:
        return False


@dataclass(frozen=True)
class Secrets:
    """What of one request opens this server.

    Parameters
    ----------
    tokens:
        The server's own, and the one by which this user was let in.
    cookie:
        The name of the server's login cookie.
    """

    tokens: frozenset[str]
    cookie: str

    @classmethod
    def of(cls, handler: Any) -> Secrets:
        """Return those of a handler of jupyter_server, once it knows its user."""
        provider = handler.identity_provider
        tokens = {getattr(provider, "token", "")}
        if handler.token_authenticated:
            tokens.add(provider.get_token(handler))
        cookie = str(provider.get_cookie_name(handler))
        return cls(frozenset(filter(None, tokens)), cookie)

    def without_query(self, query: str) -> str:
        """Return a query without Jupyter's parameters, and any that is the token."""
        return "&".join(self._kept(query))

    def _kept(self, query: str) -> Iterator[str]:
        for part in query.split("&"):
            name, _, value = map(unquote_plus, part.partition("="))
            if name.strip() not in _PARAMETERS and value.strip() not in self.tokens:
                yield part

    def without(self, headers: HTTPHeaders) -> HTTPHeaders:
        """Return such a request's headers, to be passed on."""
        kept = HTTPHeaders()
        for name, value in headers.get_all():
            if name == "Cookie":
                value = self._cookies(value)
            elif name == "Referer":
                value = self._address(value)
            elif name == "X-Xsrftoken":
                continue
            if value and not self._holds_token(name, value):
                kept.add(name, value)
        return kept

    def _cookies(self, text: str) -> str:
        cookies = (cookie.strip() for cookie in text.split(";"))
        return "; ".join(filter(self._is_not_ours, cookies))

    def _is_not_ours(self, cookie: str) -> bool:
        name = cookie.partition("=")[0].strip()
        return bool(cookie) and name != self.cookie and not name.startswith(_COOKIES)

    def _address(self, url: str) -> str:
        """Return the address of the page that asks; browsers send no fragment."""
        try:
            parts = urlsplit(url)
        except ValueError:
            return ""
        host = parts.netloc.rpartition("@")[2]
        query = self.without_query(parts.query)
        return urlunsplit(parts._replace(netloc=host, query=query, fragment=""))

    def _holds_token(self, name: str, value: str) -> bool:
        if name == "Authorization":
            found = _CREDENTIALS.match(value)
            return found is not None and found[2].strip() in self.tokens
        return any(word in self.tokens for word in re.split(r"[\s,;=&\"]+", value))
