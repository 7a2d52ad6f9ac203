{{- /* Where the agent's page is asked for: an address of all interfaces is none to ask at. */ -}}
{{- define "cni-egress.metricsHost" -}}
{{- $host := regexReplaceAll ":[0-9]+$" .Values.agent.metrics "" | trimAll "[]" -}}
{{- if has $host (list "0.0.0.0" "::") }}127.0.0.1{{ else if contains ":" $host }}{{ $host | quote }}{{ else }}{{ $host }}{{ end }}
{{- end }}

{{- define "cni-egress.metricsPort" -}}
{{- regexFind "[0-9]+$" .Values.agent.metrics -}}
{{- end }}

{{- /* What the installer writes into the chain, and the agent has to know. */ -}}
{{- define "cni-egress.isOtherDataDir" -}}
{{- range .Values.env }}{{ if eq .name "DATA_DIR" }}{{ fail "env: DATA_DIR is for the agent, too: set cni.dataDir instead" }}{{ end }}{{ end -}}
{{- if ne .Values.cni.dataDir "/var/lib/cni/egress" }}yes{{ end -}}
{{- end }}
