{{- define "leadsink.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "leadsink.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains (include "leadsink.name" .) .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "leadsink.name" .) | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "leadsink.selector" -}}
app.kubernetes.io/name: {{ include "leadsink.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "leadsink.labels" -}}
{{ include "leadsink.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "leadsink.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "leadsink.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "leadsink.image" -}}
{{- $i := .Values.image -}}
{{- if $i.digest -}}{{ $i.repository }}@{{ $i.digest }}{{- else -}}{{ $i.repository }}:{{ default .Chart.AppVersion $i.tag }}{{- end -}}
{{- end -}}

{{/* The port of admin.listen. */}}
{{- define "leadsink.port" -}}
{{- $listen := toString .Values.config.admin.listen -}}
{{- $port := regexFind ":[1-9][0-9]{0,4}$" $listen | trimPrefix ":" -}}
{{- if or (not $port) (gt (int $port) 65535) -}}
{{- fail (printf "config.admin.listen is %q: Kubernetes must know its port, a number from 1 to 65535; give for instance \":8080\"" $listen) -}}
{{- end -}}
{{- $port -}}
{{- end -}}

{{/* Members with names of their own, for static membership. */}}
{{- define "leadsink.static" -}}
{{- if dig "kafka" "instance_id" "" .Values.config -}}yes{{- end -}}
{{- end -}}

{{/* The names of the Secrets whose keys are files in /run/secrets. */}}
{{- define "leadsink.secrets" -}}
{{- $names := .Values.secrets.existing -}}
{{- if .Values.secrets.external.enabled }}{{ $names = append $names (printf "%s-external" (include "leadsink.fullname" .)) }}{{ end -}}
{{- if .Values.secrets.inline }}{{ $names = append $names (include "leadsink.fullname" .) }}{{ end -}}
{{- join " " $names -}}
{{- end -}}

{{/* A duration of Go, such as 1m30s, in whole seconds, rounded up. */}}
{{- define "leadsink.seconds" -}}
{{- $sum := 0.0 -}}
{{- range regexFindAll "[0-9.]+(ms|us|µs|ns|h|m|s)" . -1 -}}
{{- $n := regexFind "^[0-9.]+" . | float64 -}}
{{- $sum = addf $sum (mulf $n (get (dict "h" 3600.0 "m" 60.0 "s" 1.0 "ms" 0.001 "us" 0.000001 "µs" 0.000001 "ns" 0.000000001) (regexFind "[a-zµ]+$" .))) -}}
{{- end -}}
{{- ceil $sum | int -}}
{{- end -}}

{{/* How long the drain and what is around it may take. */}}
{{- define "leadsink.grace" -}}
{{- $drain := dig "delivery" "drain_timeout" "40s" .Values.config -}}
{{- $given := .Values.terminationGracePeriodSeconds -}}
{{- if contains "${" $drain -}}
{{- required "terminationGracePeriodSeconds must be given: config.delivery.drain_timeout is only known where leadsink runs; give that duration's longest and 25 seconds more" $given -}}
{{- else -}}
{{- $least := add .Values.preStopSeconds (include "leadsink.seconds" $drain) 25 -}}
{{- if and $given (lt (int $given) (int $least)) -}}
{{- fail (printf "terminationGracePeriodSeconds is %d: a drain would be cut off; leave it out, or give at least %d (preStopSeconds, config.delivery.drain_timeout and 25)" (int $given) $least) -}}
{{- end -}}
{{- default $least $given -}}
{{- end -}}
{{- end -}}

{{/* Refuses secrets that stand in the document, since the document is a ConfigMap. A proxy is one if it has a password. */}}
{{- define "leadsink.plain" -}}
{{- $plain := list -}}
{{- range list "leadsquared.access_key" "leadsquared.secret_key" "leadsquared.proxy" "kafka.sasl.password" "kafka.sasl.token" "kafka.sasl.client_secret" "decode.registry.password" "decode.registry.token" "admin.token" -}}
{{- $value := $.Values.config -}}
{{- range splitList "." . -}}
{{- $value = get (default dict $value) . -}}
{{- end -}}
{{- if and $value (not (contains "${" (toString $value))) (or (not (hasSuffix ".proxy" .)) (contains "@" (toString $value))) -}}
{{- $plain = append $plain (printf "config.%s" .) -}}
{{- end -}}
{{- end -}}
{{- if $plain -}}
{{- fail (printf "%s would stand in a ConfigMap for all to read; put it into a Secret that secrets.existing names and write ${file:/run/secrets/KEY}, or for a trial into secrets.inline" (join ", " $plain)) -}}
{{- end -}}
{{- end -}}

{{/* Says what is missing or does not fit. The rest of the document is for leadsink validate to judge. */}}
{{- define "leadsink.check" -}}
{{- $kafka := default dict .Values.config.kafka -}}
{{- $missing := list -}}
{{- if not $kafka.brokers }}{{ $missing = append $missing "config.kafka.brokers" }}{{ end -}}
{{- if not (or $kafka.topics $kafka.topics_regex) }}{{ $missing = append $missing "config.kafka.topics" }}{{ end -}}
{{- if not $kafka.group }}{{ $missing = append $missing "config.kafka.group" }}{{ end -}}
{{- if not (dig "transform" "rules" "" .Values.config) }}{{ $missing = append $missing "config.transform.rules" }}{{ end -}}
{{- if not (dig "leadsquared" "host" "" .Values.config) }}{{ $missing = append $missing "config.leadsquared.host" }}{{ end -}}
{{- if $missing -}}
{{- fail (printf "%s must be given; the chart's README begins with the least that it needs" (join ", " $missing)) -}}
{{- end -}}
{{- if regexMatch "^(127\\.|localhost|\\[::1\\])" .Values.config.admin.listen -}}
{{- fail (printf "config.admin.listen is %s: Kubernetes' probes cannot reach it; leave it out, or give for instance \":8080\"" .Values.config.admin.listen) -}}
{{- end -}}
{{- if and .Values.keda.enabled (ne (default "single" $kafka.assignment) "spread") -}}
{{- fail "keda.enabled: with config.kafka.assignment single one member is active however many there are; turn keda off, or write assignment: spread" -}}
{{- end -}}
{{- if and .Values.keda.enabled (not .Values.keda.triggers) (not $kafka.topics) -}}
{{- fail "keda.enabled: KEDA looks at the lag of topics by their names, and config.kafka.topics_regex tells none; name them in config.kafka.topics, or give keda.triggers" -}}
{{- end -}}
{{- if include "leadsink.static" . -}}
{{- if and (not (contains "${env:POD_NAME" $kafka.instance_id)) (or .Values.keda.enabled (gt (int .Values.replicas) 1)) -}}
{{- fail (printf "config.kafka.instance_id is %s in every member, and they would throw each other out of the group; write ${env:POD_NAME}, or have one member: replicas: 1 without keda" $kafka.instance_id) -}}
{{- end -}}
{{- end -}}
{{- include "leadsink.plain" . -}}
{{- if and .Values.secrets.external.enabled (not .Values.secrets.external.store.name) -}}
{{- fail "secrets.external.store.name must be given; name the SecretStore or ClusterSecretStore that has the secrets" -}}
{{- end -}}
{{- end -}}

{{/* What makes the pods restart when it changes. Secrets that are files are read again without that. */}}
{{- define "leadsink.checksum" -}}
{{- list .Values.config .Values.files | toJson | sha256sum -}}
{{- end -}}
