#!/bin/sh
# Runs govulncheck. Where its database cannot be reached it says so and passes; a finding fails.
out=$(go tool govulncheck ./... 2>&1)
status=$?
case "$out" in
*"fetching vulnerabilities"* | *"dial tcp"* | *"no such host"* | *"Forbidden"* | *"connection refused"*)
	echo "govulncheck: its database cannot be reached from here; skipped"
	exit 0
	;;
esac
echo "$out"
exit $status
