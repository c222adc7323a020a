<?xml version="1.0" encoding="UTF-8"?>
<!-- What CHT's web client expects of a form's HTML beyond what the imported sheet makes (50 FORM-24). -->
<xsl:stylesheet
    xmlns:xsl="http://www.w3.org/1999/XSL/Transform"
    xmlns:xf="http://www.w3.org/2002/xforms"
    version="1.0">
  <xsl:import href="enketo-transformer/openrosa2html5form.xsl"/>

  <!-- A note asks for nothing, so it never shows the mark of what must be answered. -->
  <xsl:template match="xf:bind[@type = 'string' and @readonly = 'true()' and not(@calculate)]/@required"/>

  <xsl:template name="html_type">
    <xsl:param name="xml_type"/>
    <xsl:choose>
      <xsl:when test="local-name(..) = 'select1' or $xml_type = 'select1' or local-name() = 'trigger'">radio</xsl:when>
      <xsl:when test="local-name(..) = 'select' or $xml_type = 'select'">checkbox</xsl:when>
      <xsl:when test="local-name() = 'bind'">hidden</xsl:when>
      <xsl:when test="local-name() = 'range'">number</xsl:when>
      <xsl:when test="$xml_type = 'dateTime'">datetime-local</xsl:when>
      <xsl:when test="$xml_type = 'date' or $xml_type = 'time'"><xsl:value-of select="$xml_type"/></xsl:when>
      <xsl:when test="$xml_type = 'binary'">file</xsl:when>
      <xsl:when test="$xml_type = 'int' or $xml_type = 'integer' or $xml_type = 'decimal' or $xml_type = 'float' or $xml_type = 'double'">number</xsl:when>
      <xsl:when test="$xml_type = 'tel' or ($xml_type = 'string' and contains(@appearance, 'numbers'))">tel</xsl:when>
      <xsl:otherwise>text</xsl:otherwise>
    </xsl:choose>
  </xsl:template>
</xsl:stylesheet>
