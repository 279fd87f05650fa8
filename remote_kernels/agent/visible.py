"""Which of the job's GPUs a kernel sees: some of those that the job has on this node."""

from __future__ import annotations

from collections.abc import Mapping

from .environment import NoGpuError

# What Slurm sets for the devices of a job (its gres guide), each a list.
LISTS = (
    *("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK"),
    "GPU_DEVICE_ORDINAL",
)


def visible_gpus(wanted: str, job: Mapping[str, str]) -> dict[str, str]:
    """Return the kernel's variables, chosen from the job's.

    Parameters
    ----------
    wanted : str
        Places in the job's lists, from 0: "0", or "0,2"; "none" hides them all.
    job : mapping
        The job's environment.

    Raises NoGpuError for a GPU that the job does not have.
    """
    said = {name: job.get(name) for name in LISTS}
    # NoDevFiles: Slurm's word for none.
    lists = {n: v.split(",") for n, v in said.items() if v and v != "NoDevFiles"}
    if wanted == "none":
        return dict.fromkeys(lists or LISTS[:1], "")
    places = [int(word) for word in wanted.split(",")]
    has = min((len(devices) for devices in lists.values()), default=0)
    if max(places) >= has:
        msg = (
            f"there is no GPU {max(places)} here (visible_gpus={wanted}): the job has "
            f"{has} on this node, counted from 0"
        )
        raise NoGpuError(msg)
    return {
        name: ",".join(devices[place] for place in places)
        for name, devices in lists.items()
    }
