"""A scripted agent on the official MCP client.

mcp_agent.py stdio BINARY LAKE REPORT...   records reports as the skill describes; prints each structured answer as a line
mcp_agent.py http URL REPORT               lists and calls everything; receives progress; cancels a call
"""

import asyncio
import json
import os
import sys

import httpx2
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client


def report_in(file):
    with open(file, encoding="utf-8") as text:
        return json.load(text)


def text_of(result):
    return "\n".join(block.text for block in result.content)


def checked(name, result):
    if result.is_error:
        raise SystemExit(f"{name}: {text_of(result)}")
    assert result.structured_content is not None, name
    assert text_of(result).strip(), name
    return result.structured_content


async def work_through(binary, lake, files):
    server = StdioServerParameters(command=binary, args=["--lake", lake, "mcp"])
    for mode in ["auto", "legacy"]:
        async with Client(server, mode=mode) as agent:
            await agent.list_tools()
            for file in files:
                report = report_in(file)
                cause = (report.get("rca") or {}).get("root_cause")
                if cause and mode == "auto" and file != files[0]:
                    checked("similar_incidents", await agent.call_tool("similar_incidents", {"cause": cause}))
                answer = checked("record_report", await agent.call_tool("record_report", report))
                shown = await agent.call_tool("record_report", report)
                assert checked("record_report", shown)["known"] is True
                assert answer["known"] is (mode == "legacy"), answer
                if mode == "auto":
                    print(json.dumps(answer))


CALLS = {
    "open_incident": {"request_id": "o-1", "title": "x failed", "workspace": "1"},
    "log_event": {"request_id": "o-2", "message": "looked"},
    "record_root_cause": {"request_id": "o-3", "root_cause": "no retries", "confidence": "HIGH"},
    "record_remediation": {"request_id": "o-4", "kind": "command", "title": "rerun", "command": "true", "applied": True},
    "record_verification": {"request_id": "o-5", "message": "ran"},
    "close_incident": {"request_id": "o-6", "message": "done"},
    "get_incident": {},
    "search_incidents": {"text": "x failed"},
    "similar_incidents": {},
    "get_runbook": {},
    "list_escalations": {"all": True},
    "list_recurring": {"all": True},
    "get_digest": {"week": "2026-W06"},
    "verify_audit": {},
    "run_query": {"name": "cause_ranking", "week": "2026-W06"},
}
ABOUT_AN_INCIDENT = {"log_event", "record_root_cause", "record_remediation", "record_verification", "close_incident",
                     "get_incident", "similar_incidents", "get_runbook"}


async def call_everything(url, file):
    headers = {"Authorization": f"Bearer {os.environ['MCP_TOKEN']}"}
    http = httpx2.AsyncClient(headers=headers, timeout=httpx2.Timeout(120))
    async with Client(streamable_http_client(url, http_client=http), read_timeout_seconds=120) as agent:
        tools = {tool.name: tool for tool in (await agent.list_tools()).tools}
        for tool in tools.values():
            hints = tool.annotations
            assert hints.destructive_hint is False and hints.idempotent_hint is True and tool.output_schema, tool.name
        called = {"record_report"}
        checked("record_report", await agent.call_tool("record_report", report_in(file)))
        incident = None
        for name, arguments in CALLS.items():
            if name in ABOUT_AN_INCIDENT:
                arguments = {**arguments, "incident_id": incident}
            answer = checked(name, await agent.call_tool(name, arguments))
            incident = incident or answer["incident_id"]
            called.add(name)
        alerts = checked("list_escalations", await agent.call_tool("list_escalations", {}))["escalations"]
        alert = f"{alerts[0]['incident_id']}/{alerts[0]['trigger']}"
        checked("ack", await agent.call_tool("acknowledge_escalation", {"request_id": "o-7", "alert": alert}))
        called.add("acknowledge_escalation")
        assert called == set(tools), called ^ set(tools)

        for resource in (await agent.list_resources()).resources[:5]:
            assert (await agent.read_resource(str(resource.uri))).contents[0].text
        assert len((await agent.list_resource_templates()).resource_templates) == 3
        prompts = (await agent.list_prompts()).prompts
        given = {"subject": "daily-etl", "incident_id": incident}
        for prompt in prompts:
            arguments = {argument.name: given[argument.name] for argument in prompt.arguments}
            assert (await agent.get_prompt(prompt.name, arguments)).messages
        try:
            await agent.call_tool("no_such_tool", {})
            raise SystemExit("no_such_tool was called")
        except MCPError as error:
            assert "known tools: record_report" in str(error), error

        reported = []

        async def progress(done, total, message):
            reported.append((done, total, message))

        # A short call may finish before its first progress notification is sent.
        for _ in range(40):
            await agent.call_tool("verify_audit", {}, progress_callback=progress)
            if reported:
                break
        assert reported, "no progress was reported"
        with_deadline = asyncio.wait_for(agent.call_tool("verify_audit", {}), 0.05)
        try:
            await with_deadline
        except (asyncio.TimeoutError, MCPError):
            pass
        await agent.send_ping() if agent.protocol_version < "2026-07-28" else await agent.list_tools()
    print("all tools called")


if __name__ == "__main__":
    if sys.argv[1] == "stdio":
        asyncio.run(work_through(sys.argv[2], sys.argv[3], sys.argv[4:]))
    else:
        asyncio.run(call_everything(sys.argv[2], sys.argv[3]))
