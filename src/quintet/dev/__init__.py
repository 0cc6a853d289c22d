"""What only development needs: debugger, reloader, detector of blocking calls.

`quintet dev` imports these modules and nothing else does, so that production cannot reach them.
"""
