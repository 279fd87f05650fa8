# Say what jobs wait for: sh analyze.sh JOB...
#
# Only of those that found no machine in the last round of negotiation: the analysis asks
# for all machines of the pool.
for job; do
  printf '\nRK %s\n' "$job"
  case $(condor_q "$job" -af LastRejMatchReason) in
    *'no match'*) condor_q "$job" -better-analyze ;;
  esac
done
