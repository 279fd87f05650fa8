"""What OAR puts at the beginning of a script. Pure text; called by `driver.py`.

The agent learns what it must know of its job from variables of ours (agent/job_facts.py).
"""

from __future__ import annotations

# OAR's file of nodes has a line for each core, sorted; ours is the one with our name. On
# other nodes OAR gives all that oarsh starts the same variables.
HEAD = """\
rk_nodes=$(LC_ALL=C sort -u -- "$OAR_NODEFILE")
rk_host=$(uname -n)
RK_NODE=
for rk_one in $rk_nodes; do
  if [ "$rk_one" = "$rk_host" ] || [ "${rk_one%%.*}" = "${rk_host%%.*}" ]; then
    RK_NODE=$rk_one
  fi
done
export RK_NODE=${RK_NODE:-$rk_host} RK_JOB_ID=$OAR_JOB_ID
export RK_NODES=$(echo $rk_nodes | tr ' ' ,)
export RK_NODE_COUNT=$(echo "$rk_nodes" | wc -l)
export RK_JOB_MARK=OAR_JOB_ID=$OAR_JOB_ID RK_LAUNCHERS=ssh"""

# `oarsh` makes one text of its arguments, and passes no environment. Braces are doubled,
# as the agent fills in {node}.
_ON = """\
rk_all=$({{ export -p; printf 'exec'; printf ' %q' "$@"; }} | base64 -w0)
exec oarsh -q "$rk_node" "exec bash -c 'eval \\"\\$(echo $rk_all | base64 -d)\\"'"
"""
BY_NAME = ("bash", "-c", f"rk_node=$0\n{_ON}", "{node}")
_COUNTED = "rk_nodes=(${{RK_NODES//,/ }}) rk_node=${{rk_nodes[$0]}}\n"
BY_NUMBER = ("bash", "-c", _COUNTED + _ON, "{node}")
