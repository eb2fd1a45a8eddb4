"""What crosses between clients and server of FedType-style training: the proxy, and nothing else."""

from __future__ import annotations

from huscf_flwr.methods.contract import Crossing, Reveal

PROXY = "proxy"
"""All weights of the proxy: up a client's, down the average."""

CROSSING = Crossing(
    order_kinds=(PROXY,),
    upload_kinds=(PROXY,),
    evaluation_kinds=(PROXY,),
    scores=("accuracy", "f1", "loss", "proxy_accuracy", "proxy_f1", "proxy_loss"),
    shows_server={PROXY: Reveal.MODEL},
    shows_clients={PROXY: Reveal.AVERAGE},
)
