"""Whose address a client's is: what is counted or kept per address is so per customer of a network."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address

SITE_BITS = 64


def site(client_ip: str) -> str:
    """Return whose address *client_ip* is: an IPv4 address is one customer's, of an IPv6 address the first 64 bits are.

    What is no address (a socket without one) is one place for all.
    """
    try:
        address = ip_address(client_ip)
    except ValueError:
        return "unknown"
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    if address.version == 4:  # noqa: PLR2004  # its name
        return str(address)
    return f"{IPv6Address(int(address) >> SITE_BITS << SITE_BITS)}/{SITE_BITS}"
